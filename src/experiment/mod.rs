//! Many runs of a plan: replications, their summary, and judgement of expectations.
