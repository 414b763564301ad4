//! The page that is loaded: a browser with a server of its own.

use crate::browser::Browser;
use anyhow::{Result, ensure};
use pusht_web_tool::Server;
use std::thread;

/// A browser that shows the page.
pub struct Page {
    pub browser: Browser,
    pub address: String,
}

impl Page {
    /// Opens the page and waits until it plays; nothing is on the console then.
    pub fn open() -> Result<Self> {
        let page = Self::begin()?;
        page.load()?;
        Ok(page)
    }

    /// A browser and a server, before the page is loaded.
    pub fn begin() -> Result<Self> {
        let server = Server::open(crate::folder(), 0)?;
        let address = format!("http://{}/", server.address()?);
        thread::spawn(move || server.serve());
        let browser = Browser::open()?;
        // All of the scene is in the window: places on it are counted from the middle of what is seen.
        browser.look(1280, 1000, "light")?;
        Ok(Self { browser, address })
    }

    /// Loads the page.
    pub fn load(&self) -> Result<()> {
        self.browser.go(&self.address)?;
        self.browser
            .wait("globalThis.pusht?.timing.firstPlanMs > 0")?;
        self.is_quiet()
    }

    /// Fails if the console has a message.
    pub fn is_quiet(&self) -> Result<()> {
        let console = self.browser.console()?;
        ensure!(console.is_empty(), "{console:#?}");
        Ok(())
    }

    /// Sets a control, as a person's hand does.
    pub fn set(&self, id: &str, value: &str) -> Result<()> {
        self.browser.run(&format!(
            "const control = document.getElementById('{id}');
             control.value = '{value}';
             for (const name of ['input', 'change']) control.dispatchEvent(new Event(name, {{ bubbles: true }}));"
        ))
    }

    /// Runs until the episode ends, as fast as the page can.
    pub fn run_to_the_end(&self) -> Result<()> {
        self.set("speed", "16")?;
        self.browser.click("#run")?;
        self.browser
            .wait("!document.getElementById('banner').hidden")
    }
}
