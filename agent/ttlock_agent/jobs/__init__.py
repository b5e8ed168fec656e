"""Jobs: what was asked for, what became of it, and the journal that remembers both.

``model``       states and their moves as data; the values that go in and out of the journal
``store``       the journal: one durable transaction per step
``statements``  the parts transactions are made of
``rows``        rows to values and back, sealing on the way
``schema``      the tables, as a list of migrations
``database``    SQLite on a thread of its own: locked, checked, its errors named
"""
