//! caudal-demo
