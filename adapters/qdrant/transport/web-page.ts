/** Most characters of a title that a message quotes. */
const TITLE_MAX = 80;

/** Returns the title of a web page, '' for a page without one, null for a text that is no web page. */
export function webPageTitle(text: string): string | null {
  if (!/^\s*(?:<!--[^]*?-->\s*)?(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b/i.test(text))
    return null;
  const title = /<title[^>]*>([^<]*)/i.exec(text)?.[1] ?? '';
  return title.replace(/\s+/g, ' ').trim().slice(0, TITLE_MAX);
}
