//! Nothing: the package has long tests alone.
