//! caudal-testkit
