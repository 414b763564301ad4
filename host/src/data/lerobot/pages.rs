//! Pages of a column, checked before they are decoded: the decoders of `parquet` panic at some.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

/// Pages in the encodings that LeRobot's and pyarrow's writers use for numbers, with a dictionary
/// where one is needed.
pub struct CheckedPages {
    pages: Box<dyn PageReader>,
    has_dictionary: bool,
}

impl CheckedPages {
    /// Checks what `pages` gives.
    pub fn new(pages: Box<dyn PageReader>) -> Self {
        Self {
            pages,
            has_dictionary: false,
        }
    }

    #[allow(deprecated)]
    fn check(&mut self, page: &Page) -> Result<()> {
        let is_dictionary = matches!(page, Page::DictionaryPage { .. });
        let is_first = !self.has_dictionary;
        self.has_dictionary |= is_dictionary;
        let refuse = |reason: String| Err(ParquetError::General(reason));
        match (page.encoding(), is_dictionary) {
            (Encoding::PLAIN | Encoding::PLAIN_DICTIONARY, true) if is_first => Ok(()),
            (_, true) => refuse("a second dictionary, or one that is not PLAIN".into()),
            (Encoding::PLAIN | Encoding::RLE, false) => Ok(()),
            (Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY, false) => match is_first {
                true => refuse("a page before its dictionary".into()),
                false => Ok(()),
            },
            (other, false) => refuse(format!(
                "encoding {other}; supported: PLAIN, RLE, RLE_DICTIONARY"
            )),
        }
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
