package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// docFormats are the forms of the reference that is made of the commands themselves.
var docFormats = []string{"markdown", "man"}

// newDocs is for whoever packages the command, and hidden.
func newDocs() *cobra.Command {
	format := ""
	cmd := &cobra.Command{
		Use:    "docs DIR",
		Short:  "Write the reference of this command as one Markdown page or as man pages",
		Hidden: true,
		Args:   func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 1, "one folder") },
		RunE: func(cmd *cobra.Command, args []string) error {
			switch format {
			case "markdown":
				return writePage(filepath.Join(args[0], "ballast.md"), func(w io.Writer) { writeMarkdown(w, cmd.Root()) })
			case "man":
				for _, c := range documented(cmd.Root()) {
					name := strings.ReplaceAll(c.CommandPath(), " ", "-")
					if err := writePage(filepath.Join(args[0], name+".1"), func(w io.Writer) { writeMan(w, c) }); err != nil {
						return err
					}
				}
				return nil
			}
			return usagef("--format is %q; give one of %s", format, strings.Join(docFormats, ", "))
		},
	}
	cmd.Flags().StringVar(&format, "format", docFormats[0], strings.Join(docFormats, " or "))
	return cmd
}

func writePage(path string, write func(io.Writer)) error {
	var b strings.Builder
	write(&b)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("writing the reference: %w; give a folder that can be written", err)
	}
	return nil
}

// documented returns a command and those below it that are for users, in the order of the help.
func documented(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	if cmd.Name() == "completion" {
		return list // what is below it is cobra's
	}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() && below.Name() != "help" {
			list = append(list, documented(below)...)
		}
	}
	return list
}

const markdownHead = `# The command ballast

This page is made of the commands themselves: ` + "`go test ./internal/cli -run Reference -update`" + ` writes it. ` + "`ballast help COMMAND`" + ` prints
the same, and ` + "`ballast docs --format man DIR`" + ` writes a man page of each.

`

// writeMarkdown writes the reference as one page.
func writeMarkdown(w io.Writer, root *cobra.Command) {
	all := documented(root)
	fmt.Fprint(w, markdownHead+"| command | does |\n|---|---|\n")
	for _, c := range all[1:] {
		fmt.Fprintf(w, "| [`%s`](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
	}
	for _, c := range all {
		fmt.Fprintf(w, "\n## %s\n\n", c.CommandPath())
		for _, p := range paragraphs(c) {
			if p.verbatim {
				p.text = "```text\n" + p.text + "\n```"
			}
			fmt.Fprintf(w, "%s\n\n", p.text)
		}
		if c.Runnable() && !c.HasAvailableSubCommands() {
			fmt.Fprintf(w, "```text\n%s\n```\n\n", c.UseLine())
		}
		if flags := flagText(c); flags != "" {
			fmt.Fprintf(w, "```text\n%s\n```\n\n", flags)
		}
		if c.Example != "" {
			fmt.Fprintf(w, "Examples:\n\n```sh\n%s\n```\n", unindented(c.Example))
		}
	}
}

// paragraph is a part of a help text; a table or a list in it is verbatim.
type paragraph struct {
	text     string
	verbatim bool
}

// paragraphs cuts the help of a command.
func paragraphs(c *cobra.Command) (list []paragraph) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	for block := range strings.SplitSeq(text, "\n\n") {
		lines := strings.Split(block, "\n")
		indented := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  ") })
		if indented != 0 {
			end := len(lines)
			if indented > 0 {
				end = indented
			}
			list = append(list, paragraph{strings.Join(lines[:end], "\n"), false})
		}
		if indented >= 0 {
			list = append(list, paragraph{unindented(strings.Join(lines[indented:], "\n")), true})
		}
	}
	return list
}

// unindented takes two blanks off each line.
func unindented(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(text, "\n  ", "\n"), "  ")
}

// flagText lists a command's flags; "" when it has none but those that every command has.
func flagText(c *cobra.Command) string {
	var lines []string
	for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
		if line = strings.TrimRight(line, "\n"); !strings.HasPrefix(line, "  -") { // which have a short form too
			lines = append(lines, strings.TrimPrefix(line, "      "))
		}
	}
	return strings.Join(lines, "\n")
}

// writeMan writes the man page of one command.
func writeMan(w io.Writer, c *cobra.Command) {
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(w, ".TH %q 1 \"\" ballast \"Ballast\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name), roff(name), roff(c.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n", roff(c.UseLine()))
	for _, p := range paragraphs(c) {
		if p.verbatim {
			fmt.Fprintf(w, ".nf\n%s\n.fi\n", roff(p.text))
			continue
		}
		fmt.Fprintf(w, ".PP\n%s\n", roff(p.text))
	}
	if flags := flagText(c); flags != "" {
		fmt.Fprintf(w, ".SH OPTIONS\n.nf\n%s\n.fi\n", roff(flags))
	}
	if c.Example != "" {
		fmt.Fprintf(w, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(unindented(c.Example)))
	}
	var also []string
	for _, below := range documented(c)[1:] {
		also = append(also, strings.ReplaceAll(below.CommandPath(), " ", "-")+"(1)")
	}
	if c.HasParent() {
		also = append(also, strings.ReplaceAll(c.Parent().CommandPath(), " ", "-")+"(1)")
	}
	fmt.Fprintf(w, ".SH SEE ALSO\n%s\n", roff(strings.Join(also, ", ")))
}

// roff keeps a text, which is all ASCII, from being taken for requests.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
