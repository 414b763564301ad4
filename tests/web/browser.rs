//! A browser without a window, driven through the W3C's WebDriver protocol by chromedriver.

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The key under which WebDriver keeps the reference of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Longest wait for what a page does, far beyond what any needs.
const LIMIT: Duration = Duration::from_secs(600);

/// Keys of WebDriver's private-use characters.
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

/// A browser with one page.
pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    /// Folder of downloads.
    pub downloads: TempDir,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with an empty profile.
    pub fn open() -> Result<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver can't be started")?;
        let output = driver.stdout.take().context("no output")?;
        let mut port = None;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some((_, number)) = line.rsplit_once("successfully on port ") {
                port = Some(number.trim_end_matches('.').parse::<u16>()?);
                break;
            }
        }
        let port = port.context("chromedriver names no port")?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT));
        let mut browser = Self {
            driver,
            agent: config.build().into(),
            session: format!("http://127.0.0.1:{port}/session"),
            downloads: TempDir::new()?,
            _profile: TempDir::new()?,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            &profile,
        ];
        let made = browser.post(
            "",
            &json!({ "capabilities": { "alwaysMatch": {
                "goog:chromeOptions": { "args": arguments },
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
                "timeouts": { "script": LIMIT.as_millis() as u64 },
            } } }),
        )?;
        let id = made["sessionId"].as_str().context("no session")?;
        browser.session = format!("{}/{id}", browser.session);
        let downloads = browser.downloads.path().display().to_string();
        browser.cdp(
            "Browser.setDownloadBehavior",
            &json!({ "behavior": "allow", "downloadPath": downloads }),
        )?;
        Ok(browser)
    }

    fn post(&self, command: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{command}", self.session);
        let request = self
            .agent
            .post(&url)
            .header("Content-Type", "application/json");
        let text = request
            .send(body.to_string())?
            .body_mut()
            .read_to_string()?;
        let answer: Value = serde_json::from_str(&text)?;
        let value = &answer["value"];
        ensure!(
            value["error"].is_null(),
            "{command}: {} {}",
            value["error"],
            value["message"]
        );
        Ok(value.clone())
    }

    /// A command of the Chrome DevTools Protocol.
    pub fn cdp(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.post(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// Opens a page.
    pub fn go(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    /// The value that a JavaScript expression, or the promise that it is, has.
    pub fn value(&self, expression: &str) -> Result<Value> {
        let script = format!("return ({expression});");
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs statements.
    pub fn run(&self, statements: &str) -> Result<()> {
        self.post(
            "/execute/sync",
            &json!({ "script": statements, "args": [] }),
        )
        .map(drop)
    }

    /// Waits until an expression is true.
    pub fn wait(&self, condition: &str) -> Result<()> {
        // Looked at before each picture.
        let script = format!(
            "const end = performance.now() + {};
             return new Promise((resolve) => {{
                 const look = () => {{
                     if ({condition}) resolve(true);
                     else if (performance.now() > end) resolve(false);
                     else requestAnimationFrame(look);
                 }};
                 look();
             }});",
            LIMIT.as_millis() / 2
        );
        let holds = self.post("/execute/sync", &json!({ "script": script, "args": [] }))?;
        ensure!(holds == json!(true), "never: {condition}");
        Ok(())
    }

    fn element(&self, selector: &str) -> Result<String> {
        let found = self.post(
            "/element",
            &json!({ "using": "css selector", "value": selector }),
        )?;
        Ok(found[ELEMENT].as_str().context("no element")?.to_owned())
    }

    /// Clicks an element, as a person would.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("/element/{element}/click"), &json!({}))
            .map(drop)
    }

    /// Types into an element; for a file's element, its path.
    pub fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        )
        .map(drop)
    }

    /// Text that is seen in an element.
    pub fn text(&self, selector: &str) -> Result<String> {
        let selector = serde_json::to_string(selector)?;
        let text = self.value(&format!("document.querySelector({selector}).innerText"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Performs actions of a pointer on an element: `(kind, x, y)` in pixels from its middle.
    pub fn drag(&self, selector: &str, way: &[[i32; 2]], step_ms: u32) -> Result<()> {
        let element = json!({ ELEMENT: self.element(selector)? });
        let to = |[x, y]: &[i32; 2], ms: u32| json!({ "type": "pointerMove", "x": x, "y": y, "duration": ms, "origin": element });
        let mut actions = Vec::new();
        for (index, place) in way.iter().enumerate() {
            actions.push(to(place, if index == 0 { 0 } else { step_ms }));
            if index == 0 {
                actions.push(json!({ "type": "pointerDown", "button": 0 }));
            }
        }
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let pointer = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.post("/actions", &json!({ "actions": [pointer] }))
            .map(drop)
    }

    /// Presses keys one after the other, whatever has the focus, each for `held_ms`.
    pub fn press(&self, keys: &[&str], held_ms: u32) -> Result<()> {
        let mut actions = Vec::new();
        for key in keys {
            actions.push(json!({ "type": "keyDown", "value": key }));
            actions.push(json!({ "type": "pause", "duration": held_ms }));
            actions.push(json!({ "type": "keyUp", "value": key }));
        }
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }))
            .map(drop)
    }

    /// Sets the size of the page, CSS pixels, and light or dark.
    pub fn look(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        )?;
        self.cdp("Emulation.setScrollbarsHidden", &json!({ "hidden": true }))?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.cdp(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        )
        .map(drop)
    }

    /// Writes a picture of the whole page.
    pub fn picture(&self, file: &Path) -> Result<()> {
        let parameters = json!({ "captureBeyondViewport": true });
        let taken = self.cdp("Page.captureScreenshot", &parameters)?;
        let data = taken["data"].as_str().context("no picture")?;
        Ok(std::fs::write(file, BASE64.decode(data.as_bytes())?)?)
    }

    fn log(&self, kind: &str) -> Result<Vec<Value>> {
        let entries = self.post("/se/log", &json!({ "type": kind }))?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }

    /// Messages of the console since the last call.
    pub fn console(&self) -> Result<Vec<String>> {
        let messages = self.log("browser")?;
        Ok(messages
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect())
    }

    /// Addresses that pages asked for since the last call, but for the browser's own start page.
    pub fn requests(&self) -> Result<Vec<String>> {
        let mut addresses = Vec::new();
        for entry in self.log("performance")? {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap_or("{}"))?;
            let event = &event["message"];
            let parameters = &event["params"];
            let address = match event["method"].as_str() {
                Some("Network.requestWillBeSent") => &parameters["request"]["url"],
                Some("Network.webSocketCreated") => &parameters["url"],
                _ => continue,
            };
            let from = parameters["documentURL"].as_str().unwrap_or_default();
            if from.starts_with("chrome") {
                continue;
            }
            addresses.push(address.as_str().unwrap_or_default().to_owned());
        }
        Ok(addresses)
    }

    /// Seconds of processor time that the page's main thread has used.
    pub fn processor_s(&self) -> Result<f64> {
        let metrics = self.cdp("Performance.getMetrics", &json!({}))?;
        let mut all = metrics["metrics"].as_array().into_iter().flatten();
        let time = all.find(|metric| metric["name"] == "ThreadTime");
        time.and_then(|metric| metric["value"].as_f64())
            .context("no ThreadTime")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closes the browser; where that fails, the end of the driver does.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
