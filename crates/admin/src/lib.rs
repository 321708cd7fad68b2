//! caudal-admin
