//! Everything that is seen from outside.
