//! Scenario files: YAML to every diagnostic at once, to a plan.
