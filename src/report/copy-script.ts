/**
 * The page's only script: it shows the copy buttons and lets them copy the command beside them. Without it the page
 * reads the same, since the buttons are hidden.
 */
export const COPY_SCRIPT = `
for (const button of document.querySelectorAll('button.copy')) {
  const code = button.parentElement.querySelector('code');
  button.hidden = false;
  button.addEventListener('click', async () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    let isCopied = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      isCopied = document.execCommand('copy');
    }
    button.textContent = isCopied ? 'Copied' : 'Selected';
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
}
`;
