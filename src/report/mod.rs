//! Summaries to bytes: text, JSON, pictures. Knows nothing of the engine.

pub mod json;
