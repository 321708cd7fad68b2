//! Connections that can be frozen: to the others, a frozen node looks like a process under SIGSTOP.

use caudal_types::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections to an address, until it is frozen. Connections are still accepted then, as a kernel does.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: String,
    frozen: watch::Sender<bool>,
    tasks: Tasks,
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (frozen, tasks) = (watch::Sender::new(false), Tasks::new());
        let (spawner, state) = (tasks.clone(), frozen.clone());
        tasks.spawn("test proxy", async move {
            while let Ok((near, _)) = listener.accept().await {
                spawner.spawn("test proxy connection", forward(near, target.clone(), state.subscribe()));
            }
        });
        Self { address, frozen, tasks }
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown().await;
    }
}

async fn forward(near: TcpStream, target: String, mut frozen: watch::Receiver<bool>) {
    let _ = frozen.wait_for(|frozen| !frozen).await;
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = copy(near_in, far_out, frozen.clone()) => {}
        () = copy(far_in, near_out, frozen) => {}
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut frozen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer).await {
        let _ = frozen.wait_for(|frozen| !frozen).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
