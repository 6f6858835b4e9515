package cli

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast/wal"
)

// complete gives a command, and those below it, what a shell offers for arguments and for flags: by the names that arguments have in the
// line of usage, and by the names of flags.
func complete(cmd *cobra.Command) {
	arguments := strings.Fields(cmd.Use)[1:]
	if len(arguments) > 0 && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(arguments) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			name := strings.Trim(arguments[len(args)], "[]")
			offered, directive := completeArgument(name, args, begun)
			return offerable(offered), directive
		}
	} else if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for name, values := range flagValues() {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, values) // fails for a flag that has one, which is as good
		}
	}
	for _, below := range cmd.Commands() {
		complete(below)
	}
}

// activeHelp is how a line begins that a shell shows as a message, as cobra has it.
const activeHelp = "_activeHelp_ "

// offerable leaves out what would come to the shell as something else, as it has characters that
// are not shown, or blanks around it.
func offerable(offered []string) []string {
	return slices.DeleteFunc(offered, func(text string) bool {
		return !printable(text) || text != strings.TrimSpace(text) || strings.HasPrefix(text, activeHelp)
	})
}

// unofferable reports whether a shell asks what it may offer behind args, which have something in
// them that is not shown: cobra would print that where nothing can be escaped, and nothing is
// offered then.
func unofferable(args []string) bool {
	return len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) &&
		slices.ContainsFunc(args, func(arg string) bool { return !printable(arg) })
}

// completeArgument completes an argument that has a name in the line of usage, behind other arguments.
func completeArgument(name string, before []string, begun string) ([]string, cobra.ShellCompDirective) {
	switch name {
	case "STORE", "SOURCE", "DESTINATION":
		return completeStore(begun)
	case "KEY":
		return completeKey(before[0], begun), cobra.ShellCompDirectiveNoFileComp
	case "DIR":
		return nil, cobra.ShellCompDirectiveFilterDirs
	case "VALUE":
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// flagValues are the values of flags, by their names.
func flagValues() map[string]cobra.CompletionFunc {
	fixed := func(values []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	var durable []string
	for _, e := range engines {
		if e.open != nil {
			durable = append(durable, e.name)
		}
	}
	return map[string]cobra.CompletionFunc{
		"engine": fixed(durable),
		"data":   fixed(dataForms),
		"type":   fixed(slices.Sorted(maps.Values(typeNames))),
		"as":     fixed(valueForms),
		"format": fixed(docFormats),
		"group": func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			return completeGroup(args, begun), cobra.ShellCompDirectiveNoFileComp
		},
		"dir": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
}

// completeGroup offers the raft groups of the wal that is the first argument. To look at them takes no lock.
func completeGroup(args []string, begun string) (offered []string) {
	if len(args) == 0 {
		return nil
	}
	at, err := findStore(args[0])
	if err != nil || at.engine.name != defaultEngine {
		return nil
	}
	gs, err := wal.OpenGroupsReadOnly(at.path, nil)
	if err != nil {
		return nil
	}
	defer gs.Close() // it was only looked at
	for _, id := range gs.IDs() {
		if text := strconv.FormatUint(id, 10); strings.HasPrefix(text, begun) {
			offered = append(offered, text)
		}
	}
	return offered
}

// completeStore offers the prefixes of the engines, and behind one of them, or without one, paths.
func completeStore(begun string) (offered []string, directive cobra.ShellCompDirective) {
	prefix, path := "", begun
	for _, e := range engines {
		if rest, ok := strings.CutPrefix(begun, e.name+":"); ok && e.read != nil {
			prefix, path = e.name+":", rest
		} else if p := e.name + ":"; strings.HasPrefix(p, begun) && e.read != nil {
			offered = append(offered, p)
		}
	}
	files := prefix == "" || prefix == "bolt:" // the others are folders
	for _, p := range pathsFrom(path, files) {
		offered = append(offered, prefix+p)
	}
	directive = cobra.ShellCompDirectiveNoFileComp
	if len(offered) != 1 || strings.HasSuffix(offered[0], ":") || strings.HasSuffix(offered[0], string(filepath.Separator)) {
		directive |= cobra.ShellCompDirectiveNoSpace // more of it follows
	}
	return offered, directive
}

// pathsFrom lists folders, and files too, whose paths begin like that. Hidden ones come when they are asked for.
func pathsFrom(begun string, files bool) (list []string) {
	dir, base := filepath.Split(begun)
	at := dir
	if at == "" {
		at = "."
	}
	entries, _ := os.ReadDir(at) // there is nothing to offer otherwise
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || strings.HasPrefix(name, ".") && base == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(at, name)) // follows links
		switch {
		case err != nil:
		case info.IsDir():
			list = append(list, dir+name+string(filepath.Separator))
		case files && info.Mode().IsRegular():
			list = append(list, dir+name)
		}
	}
	return list
}

// walKeys returns the stable keys of a wal, none where it does not open.
func walKeys(at place) (keys []string) {
	src, err := at.open()
	if err != nil {
		return nil
	}
	defer src.Close() // it was only looked at
	stored, _ := src.StableKeys()
	for _, key := range stored {
		keys = append(keys, string(key))
	}
	return keys
}

// completeKey offers the stable keys of a wal, and otherwise those of raft: to look into another store takes its lock for a moment, which
// might be just when its peer starts.
func completeKey(store, begun string) (offered []string) {
	keys := []string{currentTermKey, lastVoteCandKey, lastVoteTermKey}
	if at, err := findStore(store); err == nil && at.engine.name == defaultEngine {
		keys = append(keys, walKeys(at)...)
		slices.Sort(keys)
		keys = slices.Compact(keys)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, begun) && key != "" {
			offered = append(offered, key)
		}
	}
	return offered
}
