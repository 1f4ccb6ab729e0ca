//! The only door to transcendental functions: the same bits on every machine.
