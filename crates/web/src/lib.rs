//! The HTTP server: routes, tenant authentication, admin pages, profiling.
