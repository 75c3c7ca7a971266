module greetings

go 1.24

require gantry v0.0.0

// The SDK, which `gantry plugin build` puts there.
replace gantry => ./.gantry/go
