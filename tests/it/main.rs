//! The integration tests: one binary, one hazard a file.
