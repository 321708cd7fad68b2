//! Support for the black-box tests: clusters of the real binary, and drivers of clients that others wrote.
