"""The gateway watch: what the cloud claims against what the lock's own memory holds.

``verdict``  one lock's evidence and what follows from it; pure
``watch``    gathers the evidence, asks for what is missing, publishes the verdict
"""
