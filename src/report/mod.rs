//! Summaries to bytes: text, JSON, pictures. Knows nothing of the engine.

mod contrast;
pub mod json;
mod show;
pub mod svg;
pub mod text;
pub mod trace;

#[cfg(test)]
mod sample;
