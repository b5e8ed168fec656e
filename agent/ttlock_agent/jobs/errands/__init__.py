"""What each verb of the radio does with a lock while the connection lasts.

``errand``        one job with all it needs, and the road that every change takes
``reading``       what only asks
``bolt``          unlock and lock
``credentials``   cards and fingerprints
``hours``         their weekly hours
``settings``      settings, and the administrator's passcode
``passage``       passage mode
``clearing``      lists that are emptied, behind an interlock
``table``         verb by verb
"""
