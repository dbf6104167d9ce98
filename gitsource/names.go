package gitsource

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of entries come in three kinds. Most are fine. Some are odd, such as
// one with a newline in it: Git allows them and honest tools make them, so the
// entry alone is refused. And some no Git would ever commit, because they mean
// another place than they say: a commit that holds one was made by hand to
// attack its readers, and is refused whole.

const maxName = 255 // bytes, what file systems allow

// hostile reports whether name cannot be the name of one entry below a folder,
// or is the folder .git in one of its disguises.
func hostile(name string) bool {
	return name == "" || name == "." || name == ".." ||
		strings.ContainsAny(name, "/\x00") || isDotGit(name)
}

// isDotGit reports whether a file system could take name for ".git": HFS+
// ignores case and some invisible characters, NTFS ignores case, trailing dots
// and spaces and what follows a colon, and knows ".git" as "git~1".
func isDotGit(name string) bool {
	visible := strings.Map(func(r rune) rune {
		if r >= 0x200c && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x206a && r <= 0x206f || r == 0xfeff {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
	for part := range strings.SplitSeq(visible, `\`) {
		part, _, _ = strings.Cut(part, ":")
		part = strings.TrimRight(part, " .")
		if part == ".git" || part == "git~1" {
			return true
		}
	}
	return false
}

// odd reports whether name can mislead a reader or a tool that handles it.
func odd(name string) bool {
	return len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool {
		return r == '\\' || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// printable returns s with everything escaped that could upset a terminal, a
// log or a reader, and cut at a length that still helps.
func printable(s string) string {
	const most = 512
	if len(s) > most {
		s = s[:most] + "…"
	}
	q := strconv.QuoteToGraphic(s)
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return '\ufffd'
		}
		return r
	}, q)
}
