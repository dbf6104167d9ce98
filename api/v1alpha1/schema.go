package v1alpha1

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"sync"

	"github.com/cloudcwfranck/kspec/docs/schemas"
)

// schema is the part of JSON Schema that the documents of kspec use.
//
// +kubebuilder:object:generate=false
type schema struct {
	Type            string             `json:"type"`
	Enum            []string           `json:"enum"`
	Pattern         *pattern           `json:"pattern"`
	Format          string             `json:"format"`
	ContentEncoding string             `json:"contentEncoding"`
	Minimum         *int64             `json:"minimum"`
	Maximum         *int64             `json:"maximum"`
	MinLength       int                `json:"minLength"`
	MaxLength       *int               `json:"maxLength"`
	MinItems        int                `json:"minItems"`
	Items           *schema            `json:"items"`
	Properties      map[string]*schema `json:"properties"`
	Additional      additional         `json:"additionalProperties"`
	Required        []string           `json:"required"`
}

// additional is false, or a schema for the values of a map.
//
// +kubebuilder:object:generate=false
type additional struct{ *schema }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *additional) UnmarshalJSON(b []byte) error {
	if string(b) == "false" {
		return nil
	}
	return json.Unmarshal(b, &a.schema)
}

// +kubebuilder:object:generate=false
type pattern struct{ *regexp.Regexp }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *pattern) UnmarshalText(b []byte) (err error) {
	p.Regexp, err = regexp.Compile(string(b))
	return err
}

// schemaOf returns the schemas of this version, by file name.
var schemaOf = sync.OnceValue(func() map[string]*schema {
	names, err := fs.Glob(schemas.FS, "*-"+version+".json")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	all := map[string]*schema{}
	for _, name := range names {
		data, err := schemas.FS.ReadFile(name)
		if err != nil {
			panic(err) // it is compiled in
		}
		s := new(schema)
		if err := json.Unmarshal(data, s); err != nil {
			panic(fmt.Sprintf("%s, which is compiled in: %v", name, err))
		}
		all[name] = s
	}
	return all
})
