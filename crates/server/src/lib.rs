//! caudal-server
