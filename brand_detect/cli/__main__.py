from brand_detect.cli import main

main()
