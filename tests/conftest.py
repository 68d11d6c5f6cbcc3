"""Settings of every test."""

from hypothesis import settings

# A time limit on an example would make a test fail because its machine is busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
