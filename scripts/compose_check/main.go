// Command compose_check loads a Compose file as Docker Compose itself does: its schema, its anchors, the variables that
// it requires, and whether what it refers to is there. No Docker is needed.
//
//	cd scripts/compose_check && go run . [--env FILE] [--profile NAME] ../../docker-compose.yml
//
// It prints one line a service. Exit code 0; 1 and a sentence where the file is not in order; 2 for a wrong command line.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	env := flag.String("env", "", "file of variables, NAME=value a line; default: none, nor the environment")
	profile := flag.String("profile", "", "a profile to take in")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "compose_check: give one Compose file.")
		os.Exit(2)
	}
	project, err := load(flag.Arg(0), *env, *profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compose_check:", err)
		os.Exit(1)
	}
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		fmt.Printf("%-14s %-34s after %s\n", name, service.Image, waitsFor(service))
	}
}

func load(file, env, profile string) (*types.Project, error) {
	settings := []cli.ProjectOptionsFn{cli.WithResolvedPaths(true)}
	if env != "" {
		settings = append(settings, cli.WithEnvFiles(env), cli.WithDotEnv)
	}
	if profile != "" {
		settings = append(settings, cli.WithProfiles([]string{profile}))
	}
	options, err := cli.NewProjectOptions([]string{file}, settings...)
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

func waitsFor(service types.ServiceConfig) string {
	var names []string
	for name, dependency := range service.DependsOn {
		names = append(names, name+" ("+strings.TrimPrefix(dependency.Condition, "service_")+")")
	}
	if len(names) == 0 {
		return "nothing"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
