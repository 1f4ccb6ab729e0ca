//! Summaries to bytes: text, JSON, pictures. Knows nothing of the engine.

mod contrast;
pub mod csv;
mod design;
pub mod json;
pub mod junit;
pub mod markdown;
mod places;
pub mod sarif;
mod show;
pub mod svg;
pub mod text;
pub mod trace;

#[cfg(test)]
mod sample;

pub use places::{Claims, Named};
