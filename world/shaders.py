"""Shaders of the renderers, in GLSL."""

VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position, normal, place, skin;
in vec4 fields;
out vec3 v_normal, v_place, v_skin, v_position;
out vec4 v_fields;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_position = position; v_normal = normal; v_place = place; v_skin = skin;
    v_fields = fields;
}
"""

# fields: how far along the arm (0 shoulder, 1 elbow, 2 wrist), along the leg (0 hip, 1 knee,
# 2 ankle, 3 toes), height on the trunk (0 crotch, 1 neck), and 1 for hands and head: always bare.
_WORN = """
#version 330
uniform sampler3D noise;
uniform int layer;           // 0 body, 1 tights, 2 skirt, 3 hair, 4 thing
uniform vec4 top;            // sleeves end, hem, neckline, depth of the neckline
uniform vec4 outer;          // the coat: sleeves end, hem (below 0: on the legs), opening, collar
uniform vec3 skirt;          // ends, starts, opening
uniform vec3 face;           // half width, depth and height of the gap in the hair
in vec3 v_place;
in vec4 v_fields;

// What of a surface is not there; Look.worn says the same of whole vertices.
bool left_out(float ragged) {
    float arm = v_fields.x, leg = v_fields.y, trunk = v_fields.z, bare = v_fields.w;
    if (layer == 3) {
        if (v_place.z < top.w + ragged * 2.0) return true;
        // The face looks out.
        return v_place.y < face.y && abs(v_place.x) < face.x + ragged
               && v_place.z < face.z + ragged;
    }
    if (layer == 2) {
        if (v_fields.z < skirt.x + ragged || v_fields.z > skirt.y) return true;
        return abs(v_place.x) < skirt.z && v_place.y < 0.0;
    }
    if (layer == 1) {
        bool on = bare < 0.5;
        if (arm > 0.0) on = on && arm < outer.x + ragged;
        else if (leg > 0.0) on = on && outer.y < 0.0 && leg < -outer.y;
        else on = on && trunk > outer.y && trunk < outer.w;
        float open = outer.z * (1.1 - 0.5 * trunk);
        if (leg <= 0.0 && arm <= 0.0 && v_place.y < -0.02 && abs(v_place.x) < open) on = false;
        return !on;
    }
    return false;
}
"""

FRAGMENT = (
    _WORN
    + """uniform vec3 eye;
uniform vec3 sky[9];         // irradiance, spherical harmonics
uniform vec3 sun, sun_colour;
uniform vec4 bottom;         // trousers end, waist, belt, socks end
uniform vec3 colours[16];    // pairs: top, bottom, outer, skirt, shoes, hair, thing, print
uniform vec4 patterns[4];    // of top, bottom, outer, skirt: kind, scale, strength, turn
uniform vec3 print, back;    // on chest and back: centre, half width (0: none), half height
uniform vec2 numbers;        // there; below 0: none, but spots
uniform float wrinkles, gloss, exposure;
in vec3 v_normal, v_skin, v_position;
layout(location = 0) out vec4 colour;
layout(location = 1) out float person;

vec3 cloth(int which, vec4 n) {
    vec4 pattern = patterns[which];
    vec3 a = colours[2 * which], b = colours[2 * which + 1];
    // Limbs are measured along themselves, the trunk by its height.
    float along = v_fields.x > 0.0 ? v_fields.x * 0.28 : v_fields.y > 0.0 ? v_fields.y * 0.4
                                                                         : v_place.z;
    float around = v_fields.x > 0.0 ? v_place.y * 1.5 : v_place.x;
    float c = cos(pattern.w), s = sin(pattern.w);
    vec2 at = mat2(c, -s, s, c) * vec2(around, along) * pattern.y;
    float m = 0.0;
    int kind = int(pattern.x);
    if (kind == 1) m = step(0.5, fract(at.y));
    else if (kind == 2) m = (step(0.6, fract(at.x)) + step(0.6, fract(at.y))) * 0.5;
    else if (kind == 3) m = step(0.55, texture(noise, v_place * pattern.y * 0.12).a);
    else if (kind == 4) m = smoothstep(-0.3, 0.5, v_place.z * 2.0 + 0.2);
    else if (kind == 5) m = 1.0 - step(0.3, length(fract(at) - 0.5));
    else if (kind == 6) m = step(0.93, fract(at.x * 1.7)) * 0.8;
    else if (kind == 7) m = step(0.0, v_place.z - pattern.y * 0.01);
    vec3 base = mix(a, b, m * pattern.z);
    return base * (0.86 + 0.28 * n.a);
}

const int SEGMENTS[10] = int[10](63, 6, 91, 79, 102, 109, 125, 7, 127, 111);

// Whether a place, -1 to 1 each way, lies on a digit of seven segments.
bool on_digit(vec2 at, int digit) {
    int lit = SEGMENTS[digit];
    bool level = abs(at.x) < 0.75, upright = abs(abs(at.x) - 0.6) < 0.2 && abs(at.y) < 1.0;
    bool on = false;
    if (level && at.y > 0.72) on = (lit & 1) != 0;
    if (level && at.y < -0.72) on = (lit & 8) != 0;
    if (level && abs(at.y) < 0.14) on = (lit & 64) != 0;
    if (upright && at.y > 0.0) on = on || (lit & (at.x > 0.0 ? 2 : 32)) != 0;
    if (upright && at.y < 0.0) on = on || (lit & (at.x > 0.0 ? 4 : 16)) != 0;
    return on;
}

// What is printed on a shirt or jacket, front and back.
vec3 printed(vec3 albedo, vec4 fine) {
    bool behind = v_place.y > 0.0;
    vec3 field = behind ? back : print;
    int number = int(behind ? numbers.y : numbers.x);
    vec2 at = vec2(v_place.x, v_place.z - field.x) / max(field.yz, vec2(1e-4));
    if (field.y <= 0.0 || max(abs(at.x), abs(at.y)) > 1.0) return albedo;
    if (number < 0) return mix(colours[14], colours[15], step(0.5, fine.a));
    if (behind) at.x = -at.x;  // as it is read
    if (number < 10) return on_digit(at, number) ? colours[15] : albedo;
    vec2 half_at = vec2(2.2 * at.x + (at.x < 0.0 ? 1.1 : -1.1), at.y);
    int digit = at.x < 0.0 ? number / 10 : number - 10 * (number / 10);
    return on_digit(half_at, digit) ? colours[15] : albedo;
}

void main() {
    vec4 n = texture(noise, v_place * 1.7 + vec3(patterns[0].w));
    vec4 fine = texture(noise, v_place * 6.0);
    float arm = v_fields.x, leg = v_fields.y, trunk = v_fields.z, bare = v_fields.w;
    float ragged = (fine.a - 0.5) * 0.03;
    if (left_out(ragged)) discard;
    vec3 albedo = v_skin;
    float shine = 0.5;
    bool dressed = false;
    if (layer == 4) {
        albedo = mix(colours[12], colours[13], step(0.8, n.a)); dressed = true;
        if (dot(v_skin, vec3(1.0)) > 0.0) albedo = v_skin * (0.7 + 0.6 * n.a);  // of its own
    }
    else if (layer == 3) {
        albedo = mix(colours[10], colours[11], fine.a);
        albedo *= 0.7 + 0.6 * texture(noise, v_place * vec3(9.0, 9.0, 0.7)).a;
        shine = 1.5;
    } else if (layer == 2) {
        albedo = cloth(3, n); dressed = true;
    } else if (layer == 1) {
        albedo = cloth(2, n); dressed = true;
        if (arm <= 0.0 && leg <= 0.0 && v_place.y > 0.0) albedo = printed(albedo, fine);
    } else if (bare < 0.5) {
        float dip = v_place.y < 0.0 ? max(0.0, 0.12 - abs(v_place.x)) * top.w * 4.0 : 0.0;
        float neck = top.z - dip;
        bool shirt = arm > 0.0 ? arm < top.x + ragged
                   : leg > 0.0 ? false : trunk > top.y + ragged && trunk < neck;
        bool pants = leg > 0.0 ? leg < bottom.x + ragged : arm <= 0.0 && trunk < bottom.y;
        if (pants && !(shirt && bottom.z < 0.0)) {
            albedo = cloth(1, n); dressed = true;
            if (leg <= 0.0 && trunk > bottom.y - 0.05 && bottom.z > 0.0) albedo = colours[8] * 0.6;
        } else if (shirt) {
            albedo = cloth(0, n); dressed = true;
            if (arm <= 0.0) albedo = printed(albedo, fine);
        } else if (leg > bottom.w) { albedo = colours[9]; dressed = true; }
        if (leg > 1.97 && !pants) { albedo = colours[8]; dressed = true; shine = 1.0; }
    }
    vec3 normal = normalize(v_normal);
    if (!gl_FrontFacing) normal = -normal;
    float bump = dressed ? wrinkles : 0.08;
    normal = normalize(normal + bump * ((n.rgb - 0.5) * 1.6 + (fine.rgb - 0.5) * 0.7));
    vec3 g = normal;
    vec3 light = sky[0] + sky[1] * g.y + sky[2] * g.z + sky[3] * g.x + sky[4] * g.x * g.y
               + sky[5] * g.y * g.z + sky[6] * (3.0 * g.z * g.z - 1.0) + sky[7] * g.x * g.z
               + sky[8] * (g.x * g.x - g.y * g.y);
    light = max(light, vec3(0.02));
    float facing = dot(normal, sun);
    light += sun_colour * max(facing, 0.0);
    vec3 view = normalize(eye - v_position);
    float spark = pow(max(dot(normal, normalize(sun + view)), 0.0), 24.0);
    vec3 shaded = albedo * light + sun_colour * spark * gloss * shine * 0.25;
    // Folds and gaps between limbs get less of the sky.
    shaded *= 0.75 + 0.25 * n.a + 0.1 * fine.a;
    colour = vec4(pow(clamp(shaded * exposure, 0.0, 1.0), vec3(0.4545)), 1.0);
    person = layer == 4 ? 0.0 : 1.0;
}
"""
)

# The same outlines without colours, for depth alone.
OUTLINE = (
    _WORN
    + """
void main() {
    float ragged = layer == 0 || layer == 4 ? 0.0 : (texture(noise, v_place * 6.0).a - 0.5) * 0.03;
    if (left_out(ragged)) discard;
}
"""
)

OUTLINE_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position, place;
in vec4 fields;
out vec3 v_place;
out vec4 v_fields;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_place = place; v_fields = fields;
}
"""

SHELL_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
void main() { gl_Position = projection * vec4(position, 1.0); }
"""

SHELL = """
#version 330
void main() {}
"""
