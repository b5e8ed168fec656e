"""A support bundle: enough to see what is wrong, and safe to paste.

``masking``  what is left out, by kind of value and by value
``told``     the running agent's part, over the control socket
``machine``  what any user of this machine may see
``at_rest``  what is read of the state directory while no agent runs
``bundle``   puts the parts together

It is safe by construction: every part names what it shows, and texts from elsewhere are scrubbed.
As a second net the agent masks, by value, every secret that it knows.
"""
