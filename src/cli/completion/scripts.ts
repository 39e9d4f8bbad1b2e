/** Shells that have a script. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One of them. */
export type Shell = (typeof SHELLS)[number];

/**
 * Scripts that ask the program for words, and let the shell complete files where it has none. They give the words as
 * they were typed and never evaluate them.
 */
export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `_qdrant_tldr() {
  local current="\${COMP_WORDS[COMP_CWORD]}"
  # bash splits --flag=value at the sign; the program then sees the value as a word of its own.
  [ "$current" = "=" ] && current=""
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD-1}" "$current") kept=() word
  for word in "\${words[@]}"; do [ "$word" = "=" ] || kept+=("$word"); done
  COMPREPLY=()
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(qdrant-tldr complete -- "\${kept[@]}" 2>/dev/null)
}
complete -o default -F _qdrant_tldr qdrant-tldr
`,
  zsh: `#compdef qdrant-tldr
_qdrant_tldr() {
  local -a found
  found=("\${(@f)$(qdrant-tldr complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${#found} )); then compadd -a found; else _files; fi
}
(( \${+functions[compdef]} )) || { autoload -Uz compinit && compinit; }
compdef _qdrant_tldr qdrant-tldr
`,
  fish: `function __qdrant_tldr
  set -l typed (commandline -opc)
  set -l found (qdrant-tldr complete -- $typed[2..] (commandline -ct) 2>/dev/null)
  if set -q found[1]
    printf '%s\\n' $found
  else
    set -l flag (string match -r -- '^--[^=]+=' (commandline -ct))
    printf '%s\\n' "$flag"(__fish_complete_path (string replace -- "$flag" '' (commandline -ct)))
  end
end
complete -c qdrant-tldr -f -a '(__qdrant_tldr)'
`,
};
