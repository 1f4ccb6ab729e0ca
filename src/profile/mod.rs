//! What each bus promises, as data.
