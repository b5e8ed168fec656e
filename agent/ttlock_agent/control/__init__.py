"""The local control socket: how the command line talks to the running agent.

``messages``  what goes over the socket, one JSON object a line
``server``    the agent's side
``client``    the command line's side

Who may talk is decided by mode and group of the socket.
"""
