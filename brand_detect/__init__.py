"""Which brands were on screen in a video: when, how long, how large, and on what evidence."""
