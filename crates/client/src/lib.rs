//! caudal-client
