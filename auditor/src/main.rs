//! `picket-auditor`: see [`picket_auditor::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    picket_auditor::cli::main()
}
