"""The demo: the main job told in under a minute, without a radio or a broker of one's own."""
