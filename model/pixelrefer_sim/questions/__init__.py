"""True questions about what a simulated clip shows, and their answers, made from its record.

``view`` says what is looked at; ``appearance``, ``relations``, ``motion``, ``reasoning``, ``future``, ``several`` and
``captions`` yield what is true of it; ``question`` puts it into words, ``make`` brings all together, and
``balance`` keeps the answers even.
"""
