//! caudal-cli
