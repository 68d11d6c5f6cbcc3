"""Makes what a release consists of, into a folder: nothing is pushed anywhere (docs/releasing.md)."""
