//! Confidence intervals across independent runs.
