//! Deliveries as CSV.
