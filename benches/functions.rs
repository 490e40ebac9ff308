//! The functions of a peer that is a C library, loaded when a benchmark runs.

/// Loads functions of a library by name, each into a variable. Their types must match the library's documentation.
macro_rules! load {
    ($library:ident: $($function:ident: $type:ty = $name:literal;)+) => {
        $(
            // SAFETY: this is the function's type in the library's documentation; the library's file name has the version
            // of its ABI.
            let $function = *unsafe { $library.get::<$type>($name.as_bytes()) }?;
        )+
    };
}
pub(crate) use load;
