"""One lock, spoken to: requests over a link, and what a visit to a lock can do.

``client``    drives a sans-IO session over a link, and says honestly what became of a request
``visit``     one connection: authentication, clock, passcodes, state
``refusals``  what each "no" of a lock means to a person
"""
