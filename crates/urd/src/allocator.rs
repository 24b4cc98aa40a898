//! jemalloc for the whole program, and how it is set up.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A string for C.
#[repr(transparent)]
pub(crate) struct Options(*const std::ffi::c_char);

// SAFETY: the pointer is to a constant that lives as long as the program and is only read.
#[expect(unsafe_code, reason = "a static must be Sync, and a pointer is not by itself")]
unsafe impl Sync for Options {}

/// Read by jemalloc before `main`. Freed pages go back to the system within a tenth of a second,
/// given back by threads of its own, so that neither a burst nor a replay stays resident: 5 s made
/// the peak of a restart with a million series 16 MB higher, and saved no CPU time. One allocation
/// in a megabyte is sampled for `/debug/pprof/heap`. The environment variable `_RJEM_MALLOC_CONF`
/// overrides it.
#[expect(unsafe_code, reason = "jemalloc finds its options by the name of this symbol")]
// SAFETY: the symbol has the type that jemalloc declares it with, `const char *`.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static OPTIONS: Options = Options(
    c"background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0,\
      prof:true,prof_active:true,lg_prof_sample:20"
        .as_ptr(),
);
