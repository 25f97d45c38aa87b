//! `cargo lambda`, called as a person calls it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::moto::{setting, venv};

/// How often, and with which pause, a test checks whether `cargo lambda watch` listens. Together
/// that is two minutes, for a machine that compiles meanwhile.
const CHECKS: u32 = 1_200;
const PAUSE: Duration = Duration::from_millis(100);

/// A running `cargo lambda watch`.
pub struct Watch {
    port: u16,
    child: Child,
}

impl Watch {
    /// Starts it in the workspace, on a free port, and waits until it listens.
    pub async fn start(settings: &BTreeMap<String, String>) -> Self {
        let port = free_port().await;
        let mut child = cargo_lambda()
            .args(["watch", "--invoke-port", &port.to_string()])
            .envs(settings)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo lambda starts");
        for _ in 0..CHECKS {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Self { port, child };
            }
            if let Ok(Some(status)) = child.try_wait() {
                panic!("cargo lambda watch ended: {status}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("cargo lambda watch does not listen");
    }

    /// Runs `cargo lambda invoke`. The first call compiles the function.
    pub async fn invoke(&self, function: &str, event: &Path) -> Output {
        cargo_lambda()
            .args(["invoke", function, "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &self.port.to_string()])
            .arg("--data-file")
            .arg(event)
            .output()
            .await
            .expect("cargo lambda starts")
    }

    /// Interrupts it as Ctrl-C does, so that it ends its functions, and waits for its end.
    pub async fn stop(mut self) {
        let id = self.child.id().map(|id| id.to_string()).unwrap_or_default();
        let interrupted = Command::new("kill").args(["-INT", &id]).status().await;
        assert!(interrupted.is_ok_and(|status| status.success()), "cargo lambda watch still runs");
        self.child.wait().await.expect("it was started here");
    }
}

fn cargo_lambda() -> Command {
    let path = format!("{}:{}", venv().join("bin").display(), setting("PATH").unwrap_or_default());
    let mut command = Command::new("cargo");
    command.arg("lambda").current_dir(workspace()).env("PATH", path);
    // Cargo sets these for its tests, but a shell does not set them, and with them some crates
    // would be built again.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_")
            || name.to_string_lossy().starts_with("CARGO_MANIFEST_")
        {
            command.env_remove(name);
        }
    }
    // tests/run has compiled everything, so that nothing need be fetched.
    command.env("CARGO_NET_OFFLINE", "true");
    command
}

/// Returns the workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
