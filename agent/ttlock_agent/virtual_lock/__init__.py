"""A virtual lock as a process of its own, so that it outlives a killed agent.

``state_file``  its memory on disk
``server``      the Unix socket that stands for its radio, its keypad and its screws
``control``     what may be done to it from outside, and the client for that
``terminal``    a keypad for people
``main``        the process
"""
