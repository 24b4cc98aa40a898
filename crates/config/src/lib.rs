//! Every option declared once: flag, YAML name, type, default, category; tenant limits and their reload.
